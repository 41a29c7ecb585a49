#!lua flags=allow-oom
-- KEYS: heartbeats.  ARGV: service id.
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d.%03d', time[1], math.floor(time[2] / 1000)))
return { time[1], time[2] }
