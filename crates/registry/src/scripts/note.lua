#!lua flags=allow-oom
-- KEYS: events.  ARGV: event as JSON, events kept.
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
return 1
