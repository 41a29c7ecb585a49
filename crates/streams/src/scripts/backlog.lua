#!lua flags=allow-oom,no-writes
-- How far the readers of a stream are.
-- KEYS: stream, ownership hash of each reader.  ARGV: epoch ms before which a cursor is worth a closer look.
-- Answers: entries ever added, {cursor, entries read} per reader, epoch ms of the oldest unread entry (0: none known old).
if redis.call('EXISTS', KEYS[1]) == 0 then
  local rows = {}
  for i = 2, #KEYS do
    local row = redis.call('HMGET', KEYS[i], 'cursor', 'read')
    rows[i - 1] = { row[1] or '0-0', row[2] or '0' }
  end
  return { '0', rows, '0' }
end
local added
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local info = {}
  for i = 1, #group, 2 do info[group[i]] = group[i + 1] end
  if info['lag'] and info['entries-read'] then added = info['entries-read'] + info['lag'] end
end
if not added then
  -- No group tells: this answer carries two whole entries, so it is the second choice.
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #info, 2 do if info[i] == 'entries-added' then added = info[i + 1] end end
end
local rows, oldest = {}, '0'
local low, low_ms
for i = 2, #KEYS do
  local row = redis.call('HMGET', KEYS[i], 'cursor', 'read')
  local cursor = row[1] or '0-0'
  rows[i - 1] = { cursor, row[2] or '0' }
  local ms = tonumber(string.match(cursor, '^%d+'))
  if tonumber(row[2] or '0') < added and (not low_ms or ms < low_ms) then low, low_ms = cursor, ms end
end
if low and low_ms < tonumber(ARGV[1]) then
  local first = redis.call('XRANGE', KEYS[1], '(' .. low, '+', 'COUNT', 1)
  if first[1] then oldest = string.match(first[1][1], '^%d+') end
end
return { tostring(added), rows, oldest }
