#!lua flags=allow-oom
-- Writes the assignments that changed. A full Redis is drained only by workers that know what they own.
-- KEYS: assignments.  ARGV: n, then worker and assignment of the n that changed, then the workers that are gone.
local n = tonumber(ARGV[1])
for i = 2, 2 * n, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = 2 * n + 2, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
return 1
