-- Adds tags to a heartbeat, or takes them off, whatever others do with its tags meanwhile. What is so already is not
-- written: no event, no new revision.
-- ARGV: id, tag or untag, how many tags it may have, tag ...
-- Returns 1; 0 when there is no such heartbeat; 2 when it would have too many, and then nothing changes. O(tags).
local id, how, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local h = read(id)
if not h then return 0 end

local named = {}
for i = 4, #ARGV do named[ARGV[i]] = true end
local tags, was = {}, h.tags or ''
for tag in string.gmatch(was, '[^\n]+') do
  if how == 'tag' or not named[tag] then tags[#tags + 1] = tag end
  if how == 'tag' then named[tag] = nil end
end
if how == 'tag' then
  for i = 4, #ARGV do
    if named[ARGV[i]] then tags[#tags + 1] = ARGV[i] end
    named[ARGV[i]] = nil
  end
  if #tags > most then return 2 end
end

local now = table.concat(tags, '\n')
if now == was then return 1 end
unindex(h)
set(h, 'tags', now ~= '' and now or nil)
index(h)
set(h, 'rev', h.rev + 1)
log(h, 'edited', NOW)
changed(id)
return 1
