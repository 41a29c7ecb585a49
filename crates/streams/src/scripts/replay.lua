#!lua
-- Appends a raw entry again for some fault types, each at most once per attempt before it. Deliberately without
-- allow-oom: a full Redis must refuse what is new.
-- KEYS: raw stream, memory of the message's replays, dead letters where they share a slot with these.
-- ARGV: entry to copy, entry as it was accepted, message id, attempts known of, memory kept for ms, number of words of
--       the dead letters' fields where they are not among the keys, these words, then per fault type:
--       name, attempt it must follow ('*': whichever), dead letter that goes with it ('' none; '-' it is gone)
-- Answers: 'done' | 'refused' | 'not_kept', entry appended, attempt, fault types in it, fault types with a refusal.
local function expect(key, wanted)
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. kind .. ', not a ' .. wanted)
  end
end
local function fields_of(key, id)
  local found = redis.call('XRANGE', key, id, id)[1]
  return found and found[2]
end
local wrong = expect(KEYS[1], 'stream') or expect(KEYS[2], 'hash') or (KEYS[3] and expect(KEYS[3], 'stream'))
if wrong then return wrong end
local given, words = {}, tonumber(ARGV[6])
for i = 7, 6 + words do given[#given + 1] = ARGV[i] end
local function fields_of_letter(letter)
  if letter == '' or letter == '-' then return false end
  if KEYS[3] then return fields_of(KEYS[3], letter) end
  return given
end

local accepted, letters, refused, copy = {}, {}, {}, nil
for i = 7 + words, #ARGV, 3 do
  local fault, follows, letter = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local lettered = fields_of_letter(letter)
  -- A letter goes with its replay, so one that is there is of the last attempt also where the memory of it is over.
  local latest = redis.call('HGET', KEYS[2], fault) or (lettered and follows) or ARGV[2]
  if letter ~= '' and not lettered then
    refused[#refused + 1] = { fault, 'gone' }
  elseif follows ~= '*' and follows ~= latest then
    refused[#refused + 1] = { fault, 'superseded' }
  else
    accepted[#accepted + 1] = fault
    if lettered then
      letters[#letters + 1] = letter
      copy = copy or lettered
    end
  end
end
if #accepted == 0 then return { 'refused', '', 0, accepted, refused } end

local replaced = { message_id = true, replay = true, replay_of = true, attempt = true }
local fields = {}
local function keep(from, prefix)
  for i = 1, #from, 2 do
    local name = from[i]
    if string.sub(name, 1, #prefix) == prefix then
      name = string.sub(name, #prefix + 1)
      if not replaced[name] then
        fields[#fields + 1] = name
        fields[#fields + 1] = from[i + 1]
      end
    end
  end
end
local raw = fields_of(KEYS[1], ARGV[1])
if raw then keep(raw, '') elseif copy then keep(copy, 'raw:') end
if not raw and #fields == 0 then return { 'not_kept', '', 0, accepted, refused } end

local attempt = 1 + math.max(tonumber(ARGV[4]), tonumber(redis.call('HGET', KEYS[2], 'attempt') or '1'))
for name, value in pairs({ message_id = ARGV[3], replay = table.concat(accepted, ','), replay_of = ARGV[2],
                           attempt = attempt }) do
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end
local id = redis.call('XADD', KEYS[1], '*', unpack(fields))
for _, fault in ipairs(accepted) do redis.call('HSET', KEYS[2], fault, id) end
redis.call('HSET', KEYS[2], 'attempt', attempt)
redis.call('PEXPIRE', KEYS[2], ARGV[5])
for _, letter in ipairs(KEYS[3] and letters or {}) do redis.call('XDEL', KEYS[3], letter) end
return { 'done', id, attempt, accepted, refused }
