#!lua flags=allow-oom
-- KEYS: services, heartbeats, worker loads, assignments, events, draining.
-- ARGV: field of the record, service id, event as JSON, events kept.
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
redis.call('HDEL', KEYS[6], ARGV[2])
redis.call('LPUSH', KEYS[5], ARGV[3])
redis.call('LTRIM', KEYS[5], 0, ARGV[4] - 1)
return 1
