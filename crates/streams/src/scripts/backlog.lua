#!lua flags=allow-oom,no-writes
-- How far the readers of a stream are.
-- KEYS: stream, ownership hash of each reader.  ARGV: epoch ms before which a cursor is worth a closer look.
-- Answers: entries ever added, {cursor, entries read, entries left} per reader, epoch ms of the oldest unread entry
-- (0: none known old).
local exists = redis.call('EXISTS', KEYS[1]) == 1
local length = exists and redis.call('XLEN', KEYS[1]) or 0
local added = 0
if exists then
  added = nil
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
end
local rows, oldest = {}, nil
for i = 2, #KEYS do
  local row = redis.call('HMGET', KEYS[i], 'cursor', 'read')
  local cursor, read = row[1] or '0-0', tonumber(row[2] or '0')
  -- Never more than there is: others may have deleted or trimmed what was counted. A count that is ahead of the stream
  -- belongs to an earlier stream of that name.
  local lag = math.min(added - read, length)
  if lag < 0 then lag = length end
  if lag > 0 and tonumber(string.match(cursor, '^%d+')) < tonumber(ARGV[1]) then
    local first = redis.call('XRANGE', KEYS[1], '(' .. cursor, '+', 'COUNT', 1)
    if first[1] then
      local ms = tonumber(string.match(first[1][1], '^%d+'))
      if not oldest or ms < oldest then oldest = ms end
    else
      lag = 0
    end
  end
  rows[i - 1] = { cursor, string.format('%.0f', read), string.format('%.0f', lag) }
end
return { string.format('%.0f', added), rows, string.format('%.0f', oldest or 0) }
