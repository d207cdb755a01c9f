-- Hands due chores to the notifier: each is put off by AGAIN and named in a notification, so that one that is dropped on
-- the way comes up again. Not while many entries wait: without notifiers the outbox would grow by each of them every
-- AGAIN.
--   retry:<delivery>         tell it, or look whether it still must be told
--   escalate:<incident>      the next step of its policy
--   remind:<incident>        it is still down
--   tell:<incident>:<channel>  somebody's next contact, unless he has acknowledged by now
--   window:<incident>        it opened in a maintenance window: is that over?
-- And names incidents again that nobody has taken note of.
-- ARGV: limit
-- Returns the number of chores handed over.
local AGAIN = 30000  -- ms
local MANY = 1000    -- entries
if call('XLEN', NOTIFICATIONS) >= MANY then return 0 end
local due = call('ZRANGEBYSCORE', CHORES, '-inf', text(NOW), 'LIMIT', 0, ARGV[1])
local deliveries, others = {}, {}
for _, chore in ipairs(due) do
  call('ZADD', CHORES, text(NOW + AGAIN), chore)
  local delivery = string.match(chore, '^retry:(.*)$')
  if delivery then deliveries[#deliveries + 1] = delivery else others[#others + 1] = chore end
end
if #due > 0 then
  call('XADD', NOTIFICATIONS, '*', 'deliveries', table.concat(deliveries, ' '), 'chores', table.concat(others, ' '))
end
for _, incident in ipairs(call('ZRANGEBYSCORE', UNSEEN, '-inf', text(NOW), 'LIMIT', 0, ARGV[1])) do
  call('ZREM', UNSEEN, incident)
  local project = redis.pcall('HGET', key('incident', incident), 'project')  -- corrupt: the others still are named
  if type(project) == 'string' then look(project, incident) end
end
notify()
return #due
