-- Records how a telling ended. Only the owner of the lease may; a late word of a former owner changes nothing.
-- ARGV: owner, channel, outcome (told|retry|dead), ms until the next try, answer, reason, latency in ms,
--   then incident, word ...
-- Returns the number of deliveries recorded.
local owner, channel, outcome, delay, answer, reason, latency = unpack(ARGV, 1, 7)
local DEAD_LETTERS = 10000  -- kept per shard
local recorded = 0

local function note(incident, word)
  local name = incident .. ':' .. channel
  local delivery = key('delivery', name)
  if call('HGET', delivery, 'owner') ~= owner then return end
  recorded = recorded + 1
  call('HDEL', delivery, 'owner', 'leased_until', 'next')
  call('HSET', delivery, 'outcome', outcome, 'answer', answer, 'reason', reason, 'latency', latency,
       'at', text(NOW))
  if outcome == 'retry' then
    call('HSET', delivery, 'next', text(NOW + delay))
    return call('ZADD', CHORES, text(NOW + delay), 'retry:' .. name)
  end
  call('HDEL', delivery, 'word')
  local count = call('HGET', delivery, 'count')
  if count then call('HSET', delivery, 'told_count', count) end
  if outcome == 'told' then
    call('HSET', delivery, 'told', word)
  elseif word ~= 'grown' then  -- that one is due again when it has doubled again
    call('HSET', delivery, 'given_up', word)
  end
  if outcome == 'dead' then
    call('ZADD', DEAD, text(NOW), name)
    call('ZREMRANGEBYRANK', DEAD, 0, -DEAD_LETTERS - 1)
  end
  local now_due = next_word(incident, unpack(call('HMGET', delivery, 'told', 'told_count')))
  if now_due and (now_due ~= word or now_due == 'grown') then  -- the incident moved on meanwhile
    call('ZADD', CHORES, text(NOW), 'retry:' .. name)
  else
    call('ZREM', CHORES, 'retry:' .. name)
    if call('HGET', key('incident', incident), 'status') ~= 'open' then
      call('PEXPIRE', delivery, KEEP_INCIDENTS)
    end
  end
end

for i = 8, #ARGV, 2 do note(ARGV[i], ARGV[i + 1]) end
return recorded
