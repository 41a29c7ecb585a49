#!lua flags=allow-oom
-- KEYS: services, events.  ARGV: field of the record, record as JSON, event as JSON, events kept.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('LPUSH', KEYS[2], ARGV[3])
redis.call('LTRIM', KEYS[2], 0, ARGV[4] - 1)
return 1
