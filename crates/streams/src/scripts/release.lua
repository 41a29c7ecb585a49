#!lua flags=allow-oom
-- Gives a partition back. KEYS: ownership hash.  ARGV: token.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'owner', '')
return 1
