#!lua flags=allow-oom
-- Writes one target of a commit whose targets are on several slots.
-- KEYS: target; of a hash also the term of its last writer.
-- ARGV: type of the target, term, then operations:
--       id maxlen n field value ...   append to a stream under this id, once ('*': any); maxlen 0: keep all
--       '' 0 n field value ...        set fields of a hash
-- Answers 0 when a writer of a later term was there.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= ARGV[1] then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is a ' .. kind .. ', not a ' .. ARGV[1])
end
if KEYS[2] then
  local last = tonumber(redis.call('GET', KEYS[2]) or '0')
  if last > tonumber(ARGV[2]) then return 0 end
  if last < tonumber(ARGV[2]) then redis.call('SET', KEYS[2], ARGV[2]) end
end
local at = 3
while at <= #ARGV do
  local id, maxlen, n = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if id == '' then
    redis.call('HSET', KEYS[1], unpack(ARGV, at + 3, at + 2 + n))
  else
    local length = maxlen > 0 and { 'MAXLEN', '~', maxlen } or {}
    local line = { KEYS[1] }
    for _, word in ipairs(length) do line[#line + 1] = word end
    line[#line + 1] = id
    for i = at + 3, at + 2 + n do line[#line + 1] = ARGV[i] end
    -- An id that is there already, or older than the last: it was written before.
    local added = redis.pcall('XADD', unpack(line))
    if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller', 1, true) then
      return added
    end
  end
  at = at + 3 + n
end
return 1
