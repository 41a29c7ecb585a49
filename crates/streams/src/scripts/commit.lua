#!lua flags=allow-oom
-- The fenced commit: all of it or nothing.
-- KEYS: ownership hash, source stream, targets ...
-- ARGV: token, cursor computed from, cursor to move to, entries between them, group,
--       then for each target its type, then operations:
--       'A' target maxlen n field value ...   append to a stream (maxlen 0: keep all)
--       'H' target n field value ...          set fields of a hash
local function kind_of(key) return redis.call('TYPE', key).ok end
local function expect(key, wanted)
  local kind = kind_of(key)
  if kind ~= 'none' and kind ~= wanted then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. kind .. ', not a ' .. wanted)
  end
end
local wrong = expect(KEYS[1], 'hash')
if wrong then return wrong end
local token, from, to, count, group = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local row = redis.call('HMGET', KEYS[1], 'owner', 'cursor')
if row[1] ~= token then return { 'fenced', row[1] or '' } end
local cursor = row[2] or '0-0'
if cursor == to and from ~= to then return { 'repeated', cursor } end
if cursor ~= from then return { 'moved', cursor } end

wrong = expect(KEYS[2], 'stream')
for i = 3, #KEYS do wrong = wrong or expect(KEYS[i], ARGV[3 + i]) end
if wrong then return wrong end
-- An entry that was read before a failover and is not on the new primary: a cursor beyond the end of the stream would
-- pass over what is appended there next.
if from ~= to and #redis.call('XRANGE', KEYS[2], to, to) == 0 then return { 'moved', cursor } end

local at = 4 + #KEYS
while at <= #ARGV do
  local op, key = ARGV[at], KEYS[tonumber(ARGV[at + 1])]
  if op == 'A' then
    local maxlen, n = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    if maxlen > 0 then
      redis.call('XADD', key, 'MAXLEN', '~', maxlen, '*', unpack(ARGV, at + 4, at + 3 + n))
    else
      redis.call('XADD', key, '*', unpack(ARGV, at + 4, at + 3 + n))
    end
    at = at + 4 + n
  else
    local n = tonumber(ARGV[at + 2])
    redis.call('HSET', key, unpack(ARGV, at + 3, at + 2 + n))
    at = at + 3 + n
  end
end
redis.call('HSET', KEYS[1], 'cursor', to)
local read = redis.call('HINCRBY', KEYS[1], 'read', count)
redis.call('HDEL', KEYS[1], 'suspect', 'attempt', 'attempts')
-- The seeds' group only mirrors the cursor, so a lost group is no loss.
local mirrored = redis.pcall('XGROUP', 'SETID', KEYS[2], group, to, 'ENTRIESREAD', read)
if type(mirrored) == 'table' and mirrored.err then
  redis.pcall('XGROUP', 'CREATE', KEYS[2], group, to, 'MKSTREAM', 'ENTRIESREAD', read)
end
return { 'done', to }
