/** What has to be one step for Redis. Each has one key, so a Cluster knows where to run it. */

/**
 * Trims a stream that is longer than ARGV[1], of nothing that a group has not acknowledged, and not below that length (nor
 * exactly to it: Redis removes whole nodes of entries). A stream without a group is trimmed to it. Returns its length.
 */
export const TRIM = `
local excess = redis.call('XLEN', KEYS[1]) - tonumber(ARGV[1])
if excess <= 0 then return excess + tonumber(ARGV[1]) end
local function sortable(id)
  local dash = string.find(id, '-', 1, true)
  local ms, n = string.sub(id, 1, dash - 1), string.sub(id, dash + 1)
  return string.rep('0', 20 - #ms) .. ms .. string.rep('0', 20 - #n) .. n
end
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local first = newest[1][1]
for _, fields in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for i = 1, #fields, 2 do group[fields[i]] = fields[i + 1] end
  local open = group['last-delivered-id']
  if group['pending'] > 0 then open = redis.call('XPENDING', KEYS[1], group['name'])[2] end
  if sortable(open) < sortable(first) then first = open end
end
redis.call('XTRIM', KEYS[1], 'MINID', '~', first, 'LIMIT', excess)
return redis.call('XLEN', KEYS[1])`;

/**
 * Removes consumers of the group ARGV[1] that have nothing and have not been seen for ARGV[2] milliseconds; with ARGV[3] only
 * that one. One that has entries stays, as these would be lost with it.
 */
export const FORGET_CONSUMERS = `
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #fields, 2 do consumer[fields[i]] = fields[i + 1] end
  local meant = ARGV[3] == nil or ARGV[3] == consumer['name']
  if meant and consumer['pending'] == 0 and consumer['idle'] >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer['name'])
  end
end
return 0`;

/**
 * Says again that the consumer ARGV[2] of the group ARGV[1] has the entries ARGV[4…], idle for ARGV[3] milliseconds, but those
 * that another one has claimed meanwhile. Returns those that it has.
 */
export const RENEW = `
local mine = {}
for i = 4, #ARGV do
  local entry = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if #entry > 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'IDLE', ARGV[3], 'JUSTID')
    mine[#mine + 1] = ARGV[i]
  end
end
return mine`;
