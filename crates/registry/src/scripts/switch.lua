#!lua flags=allow-oom
-- Changes switches. A full Redis is drained only when operators can start what they stopped.
-- KEYS: switches.  ARGV: who as JSON, then field and value as JSON of each change; an empty value removes the field.
local time = redis.call('TIME')
local stamp = string.format(',"by":%s,"at_ms":%d%03d}', ARGV[1], time[1], math.floor(time[2] / 1000))
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], '{"value":' .. ARGV[i + 1] .. stamp)
  end
end
return 1
