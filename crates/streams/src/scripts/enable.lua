#!lua flags=allow-oom
-- Records the entry at which a fault type is enabled or disabled; an enabled one begins behind it.
-- KEYS: stream, ownership hash.  ARGV: 1 to enable, 0 to disable.
local last, added = '0-0', 0
if redis.call('TYPE', KEYS[1]).ok == 'stream' then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
    if info[i] == 'entries-added' then added = info[i + 1] end
  end
end
if ARGV[1] == '1' then
  redis.call('HSET', KEYS[2], 'cursor', last, 'read', added, 'enabled_from', last)
  redis.call('HDEL', KEYS[2], 'suspect', 'attempt', 'attempts', 'disabled_at')
else
  redis.call('HSET', KEYS[2], 'disabled_at', last)
end
return last
