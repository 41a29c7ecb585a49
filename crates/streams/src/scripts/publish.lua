#!lua
-- Appends a message once. Deliberately without allow-oom: a full Redis must refuse what is new.
-- KEYS: stream, memory of the message id: entry, then the claim it was accepted under.
-- ARGV: message id kept for ms (0: not at all), claim, field, value, ...
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'stream' and kind ~= 'none' then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is a ' .. kind .. ', not a stream')
end
local keep_ms = tonumber(ARGV[1])
if keep_ms > 0 then
  local earlier = redis.call('GET', KEYS[2])
  if earlier then
    -- A write, so that WAIT on this connection covers the earlier entry too.
    redis.call('PEXPIRE', KEYS[2], keep_ms)
    return { string.match(earlier, '^[^ ]+'), 1, string.match(earlier, '^[^ ]+ (.*)$') or '' }
  end
end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
if keep_ms > 0 then
  redis.call('SET', KEYS[2], id .. ' ' .. ARGV[2], 'PX', keep_ms)
end
return { id, 0, '' }
