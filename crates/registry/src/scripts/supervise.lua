#!lua flags=allow-oom
-- Takes or renews the lease of the supervisor; 0 while another one lives.
-- KEYS: switches.  ARGV: field of the supervisor, field of when it was seen, supervisor as JSON, lease ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HGET', KEYS[1], ARGV[1])
local seen = tonumber(redis.call('HGET', KEYS[1], ARGV[2]) or '0')
if held and held ~= ARGV[3] and now - seen < tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3], ARGV[2], string.format('%.0f', now))
return 1
