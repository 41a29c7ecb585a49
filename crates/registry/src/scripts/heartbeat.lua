#!lua flags=allow-oom
-- KEYS: services, heartbeats, worker loads.
-- ARGV: field of the record, service id, record as JSON, load as JSON ('' when it is no worker).
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('HSET', KEYS[2], ARGV[2], string.format('%d.%03d', time[1], math.floor(time[2] / 1000)))
if ARGV[4] ~= '' then redis.call('HSET', KEYS[3], ARGV[2], ARGV[4]) end
return { time[1], time[2] }
