#!lua flags=allow-oom
-- KEYS: services, heartbeats, of a worker also worker loads.
-- ARGV: field of the record, service id, record as JSON, of a worker also its load as JSON.
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[2], string.format('%d.%03d', time[1], math.floor(time[2] / 1000)))
if KEYS[3] then redis.call('HSET', KEYS[3], ARGV[2], ARGV[4]) end
return { time[1], time[2] }
