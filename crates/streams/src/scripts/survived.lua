#!lua flags=allow-oom
-- Takes back the attempt on a suspect entry: it was diagnosed, and whoever tried it lives.
-- KEYS: ownership hash.  ARGV: token, entry id.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], 'attempt', 'attempts')
