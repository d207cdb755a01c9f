-- Decides what one channel must be told now about each incident, and reserves the telling: nobody else tells it until
-- the lease ends, and then a chore makes somebody look again. So a crash repeats at most one message, with the same id.
-- ARGV: owner, lease in ms, channel, then incidents (at most 100)
-- Returns per incident {word, attempt, count, counted}: opened|grown|resolved|test with the number of this attempt; of
--   a fleet's incident also how many members are silent, as the message must say it, and as of when, ms. Instead of a
--   word: '' = nothing to tell; busy = another owner's lease; wait = the incident before this one, of the same
--   heartbeat or fleet, is not told to its end yet.
local owner, lease_ms, channel = ARGV[1], ARGV[2], ARGV[3]
local LONG = 3600000 -- ms; the longest Retry-After that we obey
local answers = {}

local function finish(delivery, incident)
  call('ZREM', CHORES, 'retry:' .. incident .. ':' .. channel)
  if call('HGET', key('incident', incident), 'status') ~= 'open' then call('PEXPIRE', delivery, KEEP_INCIDENTS) end
  return {'', 0, '', ''}
end

-- Somebody is about to tell it, or will be when he comes to the entry that says so.
local function unfinished(incident)
  if call('ZSCORE', CHORES, 'retry:' .. incident .. ':' .. channel) then return true end
  local d = call('HMGET', key('delivery', incident .. ':' .. channel), 'created', 'told', 'given_up')
  local word = next_word(incident, d[2])
  return d[1] and word and word ~= d[3]
end

local function lease(incident)
  local delivery = key('delivery', incident .. ':' .. channel)
  local chore = 'retry:' .. incident .. ':' .. channel
  local d = call('HMGET', delivery, 'told', 'given_up', 'owner', 'leased_until', 'word', 'attempt', 'told_count')
  if d[3] and d[3] ~= owner and tonumber(d[4]) > NOW then return {'busy', 0, '', ''} end
  -- Who vanished in the middle of a word may have said it: then the end is told, even of what is void by now.
  local word = next_word(incident, d[1], d[7]) or d[3] and next_word(incident, d[5])
  if not word or word == d[2] then return finish(delivery, incident) end
  local previous = call('HGET', key('incident', incident), 'previous')
  if previous and previous ~= '' and unfinished(previous) then
    local before = 'retry:' .. previous .. ':' .. channel
    local is_told_now = call('HEXISTS', key('delivery', previous .. ':' .. channel), 'owner') == 1
    local due = not is_told_now and tonumber(call('ZSCORE', CHORES, before) or NOW) or NOW
    -- Its retry may be hours away, and the channel back long since: news hurry it, once for each incident. Not one
    -- that is nearer: the receiver may have asked for that time.
    if due > NOW + LONG and call('HSETNX', delivery, 'hurried', '1') == 1 then
      due = NOW
      call('ZADD', CHORES, text(due), before)
    end
    call('ZADD', CHORES, text(math.max(due, NOW) + 1000), chore)
    return {'wait', 0, '', ''}
  end
  local attempt = d[5] == word and d[6] + 1 or 1
  local until_ = text(NOW + lease_ms)
  call('PERSIST', delivery)
  call('HSET', delivery, 'owner', owner, 'leased_until', until_, 'word', word, 'attempt', attempt)
  call('ZADD', CHORES, until_, chore)
  -- He may have said how many, too: then it is said once more, with the same id. Who was refused says what is true now.
  local count = call('HGET', key('incident', incident), 'count')
  if count and not (d[3] and d[5] == word) then call('HSET', delivery, 'count', count, 'counted', text(NOW)) end
  local said = call('HMGET', delivery, 'count', 'counted')
  return {word, attempt, said[1] or '', said[2] or ''}
end

for i = 4, #ARGV do answers[#answers + 1] = lease(ARGV[i]) end
return answers
