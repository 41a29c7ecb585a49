#!lua flags=allow-oom
-- Trims what every reader is past and retention no longer asks for. Nothing unread is ever trimmed.
-- KEYS: stream, ownership hash of each enabled reader.  ARGV: keep from this epoch ms.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'stream' then return 0 end
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local low_ms, low_seq
for i = 2, #KEYS do
  local cursor = redis.call('HGET', KEYS[i], 'cursor')
  if not cursor then return 0 end
  local ms, seq = parts(cursor)
  if not low_ms or ms < low_ms or (ms == low_ms and seq < low_seq) then low_ms, low_seq = ms, seq end
end
if not low_ms then return 0 end
local keep_ms = tonumber(ARGV[1])
if keep_ms <= low_ms then
  low_ms, low_seq = keep_ms, 0
end
return redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-%.0f', low_ms, low_seq))
