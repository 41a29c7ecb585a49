#!lua flags=allow-oom
-- Copies entries of another stream to the end of this one, and remembers up to where: both or neither.
-- KEYS: stream to append to, hash of what was forwarded to it.
-- ARGV: the other stream, last entry forwarded before, last entry of these, then per entry: n field value ...
-- Answers what was forwarded last: when that is not the last of these, nothing was done.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'none' and kind ~= 'stream' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is a ' .. kind .. ', not a stream')
end
local cursor = redis.call('HGET', KEYS[2], ARGV[1]) or '0-0'
if cursor ~= ARGV[2] then return cursor end
local at = 4
while at <= #ARGV do
  local n = tonumber(ARGV[at])
  redis.call('XADD', KEYS[1], '*', unpack(ARGV, at + 1, at + n))
  at = at + 1 + n
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return ARGV[3]
