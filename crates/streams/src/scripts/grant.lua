#!lua flags=allow-oom
-- Gives a partition to a worker.
-- KEYS: ownership hash.  ARGV: stamp, owner expected now ('*': whoever), new token, 1 when the owner before died.
local row = redis.call('HMGET', KEYS[1], 'term', 'owner')
if row[1] ~= ARGV[1] then return { 'stale', row[1] or '' } end
local owner = row[2] or ''
if ARGV[2] ~= '*' and owner ~= ARGV[2] then return { 'held', owner } end
redis.call('HSETNX', KEYS[1], 'cursor', '0-0')
redis.call('HSETNX', KEYS[1], 'read', 0)
redis.call('HSET', KEYS[1], 'owner', ARGV[3])
if ARGV[4] == '1' and owner ~= '' then redis.call('HSET', KEYS[1], 'suspect', 1) end
return { 'ok', redis.call('HGET', KEYS[1], 'suspect') or '0' }
