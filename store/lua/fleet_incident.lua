-- The last step of a look at a fleet, on its home shard: opens its incident, brings the count up to date, or closes it.
-- What people must hear of is noted in the same script, so whoever looks may die at any point: an opening or an end in
-- the outbox, growth as a chore.
-- ARGV: fleet, number of the look (fleet_look.lua), silent members over all shards, of these by their own word, oldest
--   since in ms ('' = none), then up to 20 of their slugs
-- Returns the fleet's latest incident; '' = none, or a newer look was faster.
local f = read_fleet(ARGV[1])
local gone = not f.ping_key
if gone then f.key = key('deleted', f.id) end
local state = call('HMGET', f.key, 'project', 'incident', 'last_incident', 'applied', 'paused_incident')
local project, incident, last, applied, paused = unpack(state)
if not project or tonumber(ARGV[2]) < tonumber(applied or 0) then return '' end
call('HSET', f.key, 'applied', ARGV[2])

local silent, failed = tonumber(ARGV[3]), tonumber(ARGV[4])
if gone or f.status == 'paused' then silent = 0 end  -- shards follow one after the other

-- Whoever was told of half as many hears of it. A channel with a chore is being told, or tried again: it hears then.
local function tell_growth()
  for _, field in ipairs(call('HKEYS', key('incident', incident))) do
    local channel = string.match(field, '^to:(.*)$')
    if channel then
      local delivery = incident .. ':' .. channel
      if next_word(incident, channel, told_so_far(incident, channel)) == 'grown' then call('ZADD', CHORES, 'NX', text(NOW), 'retry:' .. delivery) end
    end
  end
end

if silent > 0 and not incident then
  local at = tonumber(ARGV[5])
  while call('EXISTS', key('incident', f.id .. '-' .. text(at))) == 1 do at = at + 1 end
  incident = f.id .. '-' .. text(at)
  call('HSET', key('incident', incident), 'heartbeat', f.id, 'fleet', '1', 'project', project, 'status', 'open',
       'cause', failed == silent and 'failure' or 'silence', 'opened_at', text(at), 'previous', last or '')
  call('ZADD', OPEN, text(at), incident)
  call('HSET', f.key, 'incident', incident, 'last_incident', incident)
  look(project, incident)
  last = incident
end
if silent > 0 then
  local most = tonumber(call('HGET', key('incident', incident), 'most') or 0)
  call('HSET', key('incident', incident), 'count', text(silent), 'most', text(math.max(most, silent)),
       'examples', table.concat({unpack(ARGV, 6)}, ' '))
  call('HDEL', f.key, 'paused_incident')
  tell_growth()
elseif incident then
  local resolution = gone and 'deleted' or paused == incident and 'paused' or 'ping'
  call('HSET', key('incident', incident), 'count', '0')
  close({incident = incident, project = project}, NOW, 'resolved', resolution)
  call('HDEL', f.key, 'incident', 'paused_incident')
end
notify()
return last or ''
