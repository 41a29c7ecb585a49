#!lua flags=allow-oom
-- Counts that a suspect entry is about to be tried alone.
-- KEYS: ownership hash.  ARGV: token, entry id.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return -1 end
if redis.call('HGET', KEYS[1], 'attempt') ~= ARGV[2] then
  redis.call('HSET', KEYS[1], 'attempt', ARGV[2], 'attempts', 0)
end
return redis.call('HINCRBY', KEYS[1], 'attempts', 1)
