-- Hands due chores to the notifier. Only retries so far: the delivery is put off by LEASE and named in a notification,
-- so that one that is dropped on the way comes up again.
-- ARGV: limit
-- Returns the number of chores handed over.
local AGAIN = 30000  -- ms
local due = call('ZRANGEBYSCORE', CHORES, '-inf', text(NOW), 'LIMIT', 0, ARGV[1])
local deliveries = {}
for _, chore in ipairs(due) do
  call('ZADD', CHORES, text(NOW + AGAIN), chore)
  deliveries[#deliveries + 1] = string.match(chore, '^retry:(.*)$')
end
if #deliveries > 0 then
  call('XADD', NOTIFICATIONS, '*', 'deliveries', table.concat(deliveries, ' '))
end
return #due
