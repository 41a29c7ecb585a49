#!lua flags=allow-oom
-- A new leader's term goes onto every ownership key before it changes any.
-- KEYS: ownership hashes, then the stream of each.  ARGV: stamp 'term:coordinator', then the group of each.
-- Answers per key: owner, cursor, entries read, suspect; or the stamp of a later term.
local n = #KEYS / 2
local term = tonumber(string.match(ARGV[1], '^%d+'))
local rows = {}
for i = 1, n do
  if redis.call('TYPE', KEYS[i]).ok ~= 'none' and redis.call('TYPE', KEYS[i]).ok ~= 'hash' then
    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is not a hash')
  end
  local stamp = redis.call('HGET', KEYS[i], 'term')
  if stamp and stamp ~= ARGV[1] and tonumber(string.match(stamp, '^%d+')) >= term then
    return { 'stale', stamp }
  end
end
for i = 1, n do
  if redis.call('HSETNX', KEYS[i], 'cursor', '0-0') == 1 then
    -- What an earlier system trimmed away counts as read, or the lag would never end.
    local trimmed = 0
    if redis.call('EXISTS', KEYS[n + i]) == 1 then
      local info = redis.call('XINFO', 'STREAM', KEYS[n + i])
      for k = 1, #info, 2 do
        if info[k] == 'entries-added' then trimmed = trimmed + info[k + 1] end
        if info[k] == 'length' then trimmed = trimmed - info[k + 1] end
      end
    end
    redis.call('HSET', KEYS[i], 'read', trimmed)
  end
  redis.call('HSETNX', KEYS[i], 'read', 0)
  redis.call('HSET', KEYS[i], 'term', ARGV[1])
  local row = redis.call('HMGET', KEYS[i], 'owner', 'cursor', 'read', 'suspect')
  -- Shown from the start; the cursor, not the group, is the truth, so an existing group is left alone.
  redis.pcall('XGROUP', 'CREATE', KEYS[n + i], ARGV[1 + i], row[2], 'MKSTREAM', 'ENTRIESREAD', row[3])
  rows[i] = { row[1] or '', row[2], row[3], row[4] or '0' }
end
return { 'ok', rows }
