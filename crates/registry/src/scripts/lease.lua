#!lua flags=allow-oom
-- Takes or renews a lease. KEYS: lease, counter of terms.  ARGV: holder, lease ms, least term.
-- Answers {holder, term} of whoever holds it afterwards.
local held = redis.call('GET', KEYS[1])
if held then
  local term, holder = string.match(held, '^(%d+):(.*)$')
  if holder == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
  return { holder, tonumber(term) }
end
-- The counter may have been rolled back with Redis; a candidate that knows a later term starts there.
local term = tonumber(redis.call('GET', KEYS[2]) or '0')
if term < tonumber(ARGV[3]) then term = tonumber(ARGV[3]) end
term = term + 1
redis.call('SET', KEYS[2], string.format('%.0f', term))
redis.call('SET', KEYS[1], string.format('%.0f:%s', term, ARGV[1]), 'PX', ARGV[2])
return { ARGV[1], term }
