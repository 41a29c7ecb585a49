#!lua flags=allow-oom
-- Changes one field and counts the change, so that whoever watches the count sees it.
-- KEYS: hash, epoch, changes. ARGV: name of the hash, field, value ('' removes it), 'new' when it must not be there yet,
-- how many of the last changes are kept. Answers 1, or 0 when nothing was changed.
local changed = 1
if ARGV[3] == '' then
  changed = redis.call('HDEL', KEYS[1], ARGV[2])
elseif ARGV[4] == 'new' then
  changed = redis.call('HSETNX', KEYS[1], ARGV[2], ARGV[3])
else
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
end
if changed == 0 then return 0 end
if redis.call('EXISTS', KEYS[2]) == 0 then
  local time = redis.call('TIME')
  redis.call('SET', KEYS[2], string.format('%d%03d', time[1], math.floor(time[2] / 1000)))
end
redis.call('ZADD', KEYS[3], redis.call('INCR', KEYS[2]), ARGV[1] .. ' ' .. ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - ARGV[5])
return 1
