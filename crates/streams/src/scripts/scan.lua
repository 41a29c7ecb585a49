#!lua flags=allow-oom,no-writes
-- Entries of a stream without what is large in them.
-- KEYS: stream.  ARGV: from, to, how many to look at, field and value that an entry must have (empty: any entry),
--       then the names of the fields to answer.
-- Answers: last entry looked at, {id, value of each name} per entry; a field that is not there is empty.
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
local rows = {}
for _, entry in ipairs(entries) do
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  if ARGV[4] == '' or fields[ARGV[4]] == ARGV[5] then
    local row = { entry[1] }
    for i = 6, #ARGV do row[#row + 1] = fields[ARGV[i]] or '' end
    rows[#rows + 1] = row
  end
end
return { entries[1] and entries[#entries][1] or '', rows }
