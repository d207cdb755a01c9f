-- Hands due chores to the notifier. Only retries so far: the delivery is put off by AGAIN and named in a notification,
-- so that one that is dropped on the way comes up again. Not while many entries wait: without
-- notifiers the outbox would grow by each of them every AGAIN.
-- ARGV: limit
-- Returns the number of chores handed over.
local AGAIN = 30000  -- ms
local MANY = 1000    -- entries
if call('XLEN', NOTIFICATIONS) >= MANY then return 0 end
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
