#!lua flags=allow-oom
-- KEYS: services, events, then the hashes in which a service has a field by its id.
-- ARGV: field of the record, service id, event as JSON, events kept.
redis.call('HDEL', KEYS[1], ARGV[1])
for i = 3, #KEYS do redis.call('HDEL', KEYS[i], ARGV[2]) end
redis.call('LPUSH', KEYS[2], ARGV[3])
redis.call('LTRIM', KEYS[2], 0, ARGV[4] - 1)
return 1
