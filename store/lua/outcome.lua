-- Records how a telling ended. Only the owner of the lease may; a late word of a former owner changes nothing.
-- ARGV: owner, channel, outcome (told|retry|dead), ms until the next try, answer, reason, latency in ms, thread ('' =
--   none), then incident, word ...
-- Returns the number of deliveries recorded.
local owner, channel, outcome, delay, answer, reason, latency, thread = unpack(ARGV, 1, 8)
local DEAD_LETTERS = 10000  -- kept per shard
local LOG_ROWS = 200        -- kept per channel and shard
local recorded = 0

local function note(incident, word)
  local name = incident .. ':' .. channel
  local delivery = key('delivery', name)
  if call('HGET', delivery, 'owner') ~= owner then return end
  recorded = recorded + 1
  call('HDEL', delivery, 'owner', 'leased_until', 'next')
  call('HSET', delivery, 'outcome', outcome, 'answer', answer, 'reason', reason, 'latency', latency,
       'at', text(NOW))
  if thread ~= '' then call('HSET', delivery, 'thread', thread) end
  if outcome == 'retry' then
    call('HSET', delivery, 'next', text(NOW + delay))
    return call('ZADD', CHORES, text(NOW + delay), 'retry:' .. name)
  end
  call('HDEL', delivery, 'word')
  local count, times = unpack(call('HMGET', delivery, 'count', 'times'))
  if count then call('HSET', delivery, 'told_count', count) end
  if outcome == 'told' then
    call('ZREM', DEAD, name)
    call('HSET', delivery, 'told_times', times or '1')
    if word ~= 'reminder' then call('HSET', delivery, 'told', word) end
  elseif word ~= 'grown' then  -- that one is due again when it has doubled again
    local tried = (word == 'opened' or word == 'reminder') and word .. ' ' .. (times or '1') or word
    call('HSET', delivery, 'given_up', tried)
  end
  if outcome == 'dead' then
    call('ZADD', DEAD, text(NOW), name)
    call('ZREMRANGEBYRANK', DEAD, 0, -DEAD_LETTERS - 1)
  end
  local d = told_so_far(incident, channel)
  local now_due = next_word(incident, channel, d)
  if now_due and given_up(incident, channel, now_due) ~= d.given_up then  -- it moved on meanwhile
    call('ZADD', CHORES, text(NOW), 'retry:' .. name)
  else
    call('ZREM', CHORES, 'retry:' .. name)
    if call('HGET', key('incident', incident), 'status') ~= 'open' then
      call('PEXPIRE', delivery, KEEP_INCIDENTS)
    end
  end
end

for i = 9, #ARGV, 2 do note(ARGV[i], ARGV[i + 1]) end
if recorded > 0 then
  local log = key('told', channel)
  call('XADD', log, 'MAXLEN', '~', LOG_ROWS, '*', 'incident', ARGV[9], 'word', ARGV[10], 'count', recorded,
       'outcome', outcome, 'answer', answer, 'reason', reason, 'latency', latency)
  call('PEXPIRE', log, KEEP_INCIDENTS)
end
return recorded
