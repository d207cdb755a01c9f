-- What the scripts about fleets share. A fleet's template is a hash, the same on every shard; a member is an entry of
-- one of three zsets and nothing else:
--   deadlines  slug -> deadline: those that are up
--   down       slug -> since: the silent; of those that said so, causes holds the exit status or 'fail'
--   returning  slug -> since: were silent when the fleet was paused; a walk puts them back into deadlines
--
-- A deadline's fraction says what stands behind it: none = a ping; .5 + n/16 = it was granted by the n-th excuse in a
-- row, or (n = 0) by an edit or a pause. So no member needs a record for its excuses.
--
-- Nobody is silent before `not_before`, whatever his deadline: so an edit or a resume need not touch a million of them.
--
-- FLEETS holds for each fleet a moment before which nothing is to be done for it. Only sweep_fleet.lua raises it; who
-- makes something due earlier lowers it. 0 = the clock stepped back: clamp.lua leaves the rest of that to the sweep.
local AHEAD = 20        -- ms that an `at` may lie ahead, as in arrive.lua
local CLOCK_OFF = 1000  -- ms that a node's clock may be off, as in arrive.lua
local CHUNK = 250       -- members that one call forgets
local FIELDS = {'ping_key', 'project', 'status', 'period', 'grace', 'misses', 'room', 'edited', 'not_before', 'walk'}
local FIGURES = {'period', 'grace', 'misses', 'room', 'edited', 'not_before', 'walk'}

-- The template with the names of its zsets. Without a ping_key there is no such fleet (any more).
local function read_fleet(id)
  local f = {id = id, key = key('fleet', id)}
  local values = call('HMGET', f.key, unpack(FIELDS))
  for i, field in ipairs(FIELDS) do f[field] = values[i] or nil end
  for _, field in ipairs(FIGURES) do f[field] = tonumber(f[field]) end
  f.edited, f.not_before = f.edited or 0, f.not_before or 0
  for _, kind in ipairs({'deadlines', 'down', 'returning', 'causes'}) do f[kind] = f.key .. ':' .. kind end
  return f
end

local function score(deadline)
  return string.format(deadline % 1 == 0 and '%.0f' or '%.4f', deadline)
end

local function excuses(deadline)
  return math.max(0, (deadline % 1 - 0.5) * 16)
end

local function granted(deadline, excused)
  return math.floor(deadline) + 0.5 + excused / 16
end

local function due_from(f, moment)
  call('ZADD', FLEETS, 'LT', text(math.floor(moment)), f.id)
end

-- To be called when the number of the silent has changed: at most one entry until somebody has looked.
local function look_at_fleet(f)
  if call('HSETNX', f.key, 'looked', '1') == 1 then
    call('XADD', NOTIFICATIONS, '*', 'project', f.project, 'fleet', f.id)
  end
end

-- Lists of what stands behind the key, for one command that is about many members.
local function add(list, first, second)
  list[#list + 1] = first
  list[#list + 1] = second
end

local function at_once(command, zset, list)
  if #list > 0 then call(command, zset, unpack(list)) end
end
