-- Decides what one channel must be told now about each incident, and reserves the telling: nobody else tells it until
-- the lease ends, and then a chore makes somebody look again. So a crash repeats at most one message, with the same id.
-- ARGV: owner, lease in ms, channel, acknowledges ('1' = the channel hears who has acknowledged), then incidents (at
--   most 100)
-- Returns per incident {word, attempt, count, at, times, step, thread}: opened|grown|reminder|acknowledged|resolved|
--   late|test with the number of this attempt; of a fleet's incident also how many members are silent, as the message
--   must say it; as of when, ms; how often this channel was to be told; the escalation step that brought it in; and
--   the thread under which it was told the beginning. Instead of a word: '' = nothing to tell; busy = another owner's
--   lease; wait = not yet: the incident before this one, of the same heartbeat or fleet, is not told to its end, or the
--   word was refused and the time of its next try has not come.
local owner, lease_ms, channel, acknowledges = unpack(ARGV, 1, 4)
local LONG = 3600000 -- ms; the longest Retry-After that we obey
local AGAIN = 15000  -- ms until somebody looks after what no chore remembers
local answers = {}

local function nothing(word)
  return {word, 0, '', '', 0, 0, ''}
end

local function finish(delivery, incident)
  call('ZREM', CHORES, 'retry:' .. incident .. ':' .. channel)
  call('HDEL', delivery, 'owner', 'leased_until', 'word')  -- of one who vanished
  if call('HGET', key('incident', incident), 'status') ~= 'open' then call('PEXPIRE', delivery, KEEP_INCIDENTS) end
  return nothing('')
end

-- Somebody is about to tell it, or will be when he comes to the entry that says so.
local function unfinished(incident)
  if call('ZSCORE', CHORES, 'retry:' .. incident .. ':' .. channel) then return true end
  local d = told_so_far(incident, channel)
  local word = next_word(incident, channel, d)
  return d.created and word and given_up(incident, channel, word) ~= d.given_up
end

local function lease(incident)
  local delivery = key('delivery', incident .. ':' .. channel)
  local chore = 'retry:' .. incident .. ':' .. channel
  local d = told_so_far(incident, channel)
  if d.owner and d.owner ~= owner and tonumber(d.leased_until) > NOW then return nothing('busy') end
  d.acknowledges = acknowledges == '1'
  local word = next_word(incident, channel, d)
  if not word and d.owner then
    -- Who vanished in the middle of a word may have said it: then the end is told, even of what is void by now.
    d.told = d.word
    word = next_word(incident, channel, d)
  end
  if not word or given_up(incident, channel, word) == d.given_up then return finish(delivery, incident) end
  -- A reminder, or an entry that is handled twice, names it sooner than its chore would. Not if the clock stepped back.
  if d.word == word and d.next and tonumber(d.next) > NOW and tonumber(d.at) <= NOW then
    call('ZADD', CHORES, d.next, chore)
    return nothing('wait')
  end
  local previous = call('HGET', key('incident', incident), 'previous')
  if previous and previous ~= '' and unfinished(previous) then
    local before, its_delivery = 'retry:' .. previous .. ':' .. channel, key('delivery', previous .. ':' .. channel)
    local is_told_now = call('HEXISTS', its_delivery, 'owner') == 1
    local due = not is_told_now and tonumber(call('ZSCORE', CHORES, before) or NOW) or NOW
    -- Its retry may be hours away, and the channel back long since: news hurry it, once for each incident. Not one
    -- that is nearer: the receiver may have asked for that time.
    if due > NOW + LONG and call('HSETNX', delivery, 'hurried', '1') == 1 then
      due = NOW
      call('HDEL', its_delivery, 'next')
      call('ZADD', CHORES, text(due), before)
    end
    call('ZADD', CHORES, 'NX', text(NOW + AGAIN), before)  -- the entry that tells of its end may have been set aside
    call('ZADD', CHORES, text(math.max(due, NOW) + 1000), chore)
    return nothing('wait')
  end
  local attempt = d.word == word and d.attempt + 1 or 1
  local until_ = text(NOW + lease_ms)
  call('PERSIST', delivery)
  call('HSET', delivery, 'owner', owner, 'leased_until', until_, 'word', word, 'attempt', attempt)
  if d.acknowledges then call('HSET', delivery, 'acknowledges', '1') end
  call('ZADD', CHORES, until_, chore)
  -- Who vanished may have said how many, and how often, too: then it is said once more, with the same id. Who was
  -- refused says what is true now.
  if not (d.owner and d.word == word) then
    local count, times = unpack(call('HMGET', key('incident', incident), 'count', 'to:' .. channel))
    if count then call('HSET', delivery, 'count', count) end
    call('HSET', delivery, 'times', times or '1', 'said_at', text(NOW))
  end
  local said = call('HMGET', delivery, 'count', 'said_at', 'times', 'step', 'thread')
  return {word, attempt, said[1] or '', said[2] or '', tonumber(said[3] or 1), tonumber(said[4] or 0), said[5] or ''}
end

for i = 5, #ARGV do answers[#answers + 1] = lease(ARGV[i]) end
return answers
