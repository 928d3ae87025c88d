-- Everything that is done to the messages of one topic; each call is one step that nobody can see half done.
-- How they are kept is described in _scripts.py.
--
-- KEYS: log, seq, groups, refs, idle, and for a group: held, due, busy, behind, dead, graves; for a publisher: sent
-- ARGV: what to do, whether it may have been done before (the answer was lost), and what that needs

local LOG, SEQ, GROUPS, REFS, IDLE = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local HELD, DUE, BUSY, BEHIND, DEAD, GRAVES = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local NOBODY = '-'  -- in whose name the messages are pending that nobody holds
local STEPS = 1000  -- so many messages are put aside in one call; the next call goes on

local call = redis.call
local again = ARGV[2] == '1'

local time = call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function whole(number)
  return string.format('%.0f', number)
end

local function id_of(place)
  return place:gsub('^0+', '') .. '-0'
end

local function place_of(id)
  return string.format('%016.0f', tonumber(id:match('^%d+')))
end

local function wake()
  if call('DEL', IDLE) == 1 then
    redis.pcall('PUBLISH', IDLE, '')
  end
end

local function fields_of(entry)
  local fields = {}
  for i = 1, #entry[2], 2 do
    fields[entry[2][i]] = entry[2][i + 1]
  end
  return fields
end

-- What the server says about a message that the group has begun and not finished: its holder, and how often handed out.
local function pending(group, place)
  local id = id_of(place)
  return call('XPENDING', LOG, group, id, id, 1)[1]
end

local function assign(group, place, consumer, attempts)
  call('XCLAIM', LOG, group, consumer, 0, id_of(place), 'RETRYCOUNT', attempts, 'FORCE', 'JUSTID')
end

local function is_held(group, place, consumer, attempt)
  local deadline = call('ZSCORE', HELD, place)
  if not deadline or tonumber(deadline) <= now then
    return false
  end
  local found = pending(group, place)
  return found and found[2] == consumer and found[4] == attempt
end

-- The next message of a key has its turn when the one before is done with.
local function pass_on(key, place)
  if key == '' or call('HGET', BUSY, key) ~= place then
    return
  end
  local member = call('ZRANGEBYLEX', BEHIND, '[' .. key .. ':', '(' .. key .. ';', 'LIMIT', 0, 1)[1]
  if not member then
    call('HDEL', BUSY, key)
    return
  end
  local following = member:sub(#key + 2)
  call('ZREM', BEHIND, member)
  call('HSET', BUSY, key, following)
  call('ZADD', DUE, 0, following)
  wake()
end

-- An acknowledgement frees no space, so the message goes when the last group is done with it.
local function let_go(place)
  local left = tonumber(call('HGET', REFS, place) or '1')
  if left > 1 then
    call('HSET', REFS, place, left - 1)
    return
  end
  call('HDEL', REFS, place)
  call('XDEL', LOG, id_of(place))
end

local function publish(uid, headers, key, digest, body, delay, number)
  local sent = KEYS[6]
  if again and tonumber(call('GET', sent) or '0') >= tonumber(number) then
    return 0
  end
  local place = place_of(whole(call('INCR', SEQ)))
  local fields = {'i', uid, 'h', headers, 'b', body}
  if digest ~= '' then
    fields[#fields + 1] = 'k'
    fields[#fields + 1] = key
    fields[#fields + 1] = 'q'
    fields[#fields + 1] = digest
  end
  if tonumber(delay) > 0 then
    fields[#fields + 1] = 't'
    fields[#fields + 1] = whole(now + tonumber(delay))
  end
  call('XADD', LOG, id_of(place), unpack(fields))
  local groups = call('SCARD', GROUPS)
  if groups > 1 then
    call('HSET', REFS, place, groups)
  end
  call('SET', sent, number, 'EX', 600)
  wake()
  return 1
end

local function exists(group)
  local groups = redis.pcall('XINFO', 'GROUPS', LOG)
  for _, found in ipairs(groups.err and {} or groups) do
    if found[2] == group then
      return true
    end
  end
  return false
end

local function register(group, silence)
  if exists(group) then
    -- Consumers that ended without a word, and whose messages others have taken over; one that lives is made again.
    for _, found in ipairs(call('XINFO', 'CONSUMERS', LOG, group)) do
      if found[4] == 0 and found[6] >= tonumber(silence) then
        call('XGROUP', 'DELCONSUMER', LOG, group, found[2])
      end
    end
    return 0
  end
  local begin = '0'
  if call('SADD', GROUPS, group) == 1 and call('SCARD', GROUPS) > 1 then
    begin = (call('GET', SEQ) or '0') .. '-0'
  end
  call('XGROUP', 'CREATE', LOG, group, begin, 'MKSTREAM')
  return 1
end

local function hand_out(entry, place, attempt, visibility)
  local fields = fields_of(entry)
  call('ZADD', HELD, whole(now + visibility), place)
  return {1, place, attempt, fields.i, fields.h, fields.b, fields.k or false, fields.q or ''}
end

-- Whether a message has to wait for another one of its key; if not, the others wait for it from now on.
local function must_wait(key, place)
  if not key then
    return false
  end
  local first = call('HGET', BUSY, key)
  if first and first ~= place then
    call('ZADD', BEHIND, 0, key .. ':' .. place)
    return true
  end
  call('HSET', BUSY, key, place)
  return false
end

local function first_of(set)
  local found = call('ZRANGE', set, 0, 0, 'WITHSCORES')
  return found[1], tonumber(found[2])
end

-- What comes back: held for too long, delayed long enough, or given back.
local function take_returned(group, consumer, visibility)
  local set = HELD
  local place, score = first_of(HELD)
  local other, sooner = first_of(DUE)
  if other and (not place or sooner < score) then
    set, place, score = DUE, other, sooner
  end
  if not place or score > now then
    return nil, score
  end
  call('ZREM', set, place)
  local entry = call('XRANGE', LOG, id_of(place), id_of(place))[1]
  if not entry then  -- somebody has removed it by hand
    call('XACK', LOG, group, id_of(place))
    return false
  end
  if must_wait(fields_of(entry).q, place) then
    return false
  end
  local found = pending(group, place)
  local attempt = (found and found[4] or 0) + 1
  assign(group, place, consumer, attempt)
  return hand_out(entry, place, attempt, visibility)
end

local function take_new(group, consumer, visibility)
  local reply = call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', LOG, '>')
  if not reply then
    return nil
  end
  local entry = reply[1][2][1]
  local place = place_of(entry[1])
  local fields = fields_of(entry)
  if fields.t and tonumber(fields.t) > now then
    assign(group, place, NOBODY, 0)
    call('ZADD', DUE, fields.t, place)
    return false
  end
  if must_wait(fields.q, place) then
    assign(group, place, NOBODY, 0)
    return false
  end
  return hand_out(entry, place, 1, visibility)
end

-- What the consumer holds already, if the answer that said so was lost.
local function take_lost(group, consumer, visibility, known)
  for _, found in ipairs(call('XPENDING', LOG, group, '-', '+', 1000, consumer)) do
    local place = place_of(found[1])
    local deadline = call('ZSCORE', HELD, place)
    if deadline and tonumber(deadline) > now and not known[place] then
      local entry = call('XRANGE', LOG, found[1], found[1])[1]
      if entry then
        return hand_out(entry, place, found[4], visibility)
      end
    end
  end
end

local function take(group, consumer, visibility)
  visibility = tonumber(visibility)
  if again then
    local known = {}
    for i = 6, #ARGV do
      known[ARGV[i]] = true
    end
    local lost = take_lost(group, consumer, visibility, known)
    if lost then
      return lost
    end
  end
  for _ = 1, STEPS do
    local found, score = take_returned(group, consumer, visibility)
    if found == nil then
      found = take_new(group, consumer, visibility)
      if found == nil then
        redis.pcall('SET', IDLE, 1, 'EX', 60)  -- it may fail on a full server, to which nobody can publish either
        local _, held = first_of(HELD)
        local _, due = first_of(DUE)
        local next = math.min(held or math.huge, due or math.huge)
        return {0, next == math.huge and -1 or math.max(0, next - now)}
      end
    end
    if found then
      return found
    end
  end
  return {0, 0}
end

local function settle(group, place, consumer, attempt, verb, key, delay, uid, attempts, error)
  attempt = tonumber(attempt)
  if not is_held(group, place, consumer, attempt) then
    if not again then
      return 0
    end
    local found = pending(group, place)
    if verb == 'ack' then
      return (not found and not call('ZSCORE', DEAD, uid)) and 1 or 0
    elseif verb == 'dead' then
      return call('ZSCORE', DEAD, uid) and 1 or 0
    end
    return (found and found[2] == NOBODY and found[4] == attempt - (verb == 'return' and 1 or 0)) and 1 or 0
  end
  call('ZREM', HELD, place)  -- first of all something that needs no memory: the rest may then go on a full server too
  if verb == 'ack' then
    call('XACK', LOG, group, id_of(place))
    let_go(place)
    pass_on(key, place)
  elseif verb == 'dead' then
    call('XACK', LOG, group, id_of(place))
    call('ZADD', DEAD, place, uid)
    call('HSET', GRAVES, uid, attempts .. ' ' .. whole(now) .. ' ' .. error)
    pass_on(key, place)
  else
    assign(group, place, NOBODY, verb == 'return' and attempt - 1 or attempt)
    call('ZADD', DUE, tonumber(delay) > 0 and whole(now + tonumber(delay)) or 0, place)
    wake()
  end
  return 1
end

local function extend(group, place, consumer, attempt, duration)
  if not is_held(group, place, consumer, tonumber(attempt)) then
    return 0
  end
  call('ZADD', HELD, whole(now + tonumber(duration)), place)
  return 1
end

local function leave(group, consumer)
  if call('EXISTS', LOG) == 1 and call('SISMEMBER', GROUPS, group) == 1 then
    if #call('XPENDING', LOG, group, '-', '+', 1, consumer) == 0 then
      call('XGROUP', 'DELCONSUMER', LOG, group, consumer)
    end
  end
  return 1
end

local function list_dead(after, limit)
  local letters = {}
  for _, uid in ipairs(call('ZRANGEBYSCORE', DEAD, '(' .. after, '+inf', 'LIMIT', 0, limit)) do
    local place = place_of(call('ZSCORE', DEAD, uid))
    local entry = call('XRANGE', LOG, id_of(place), id_of(place))[1]
    local fields = entry and fields_of(entry) or {h = '{}', b = ''}
    letters[#letters + 1] = {place, uid, fields.h, fields.b, fields.k or false, call('HGET', GRAVES, uid)}
  end
  return letters
end

local function replay(group, after, limit)
  local chosen = {}
  if limit == '0' then
    for i = 6, #ARGV do
      chosen[#chosen + 1] = ARGV[i]
    end
  else
    chosen = call('ZRANGEBYSCORE', DEAD, '(' .. after, '+inf', 'LIMIT', 0, limit)
  end
  local count, last = 0, after
  for _, uid in ipairs(chosen) do
    local score = call('ZSCORE', DEAD, uid)
    if score then
      local place = place_of(score)
      call('ZREM', DEAD, uid)
      call('HDEL', GRAVES, uid)
      assign(group, place, NOBODY, 0)
      call('ZADD', DUE, 0, place)
      count, last = count + 1, place
    end
  end
  if count > 0 then
    wake()
  end
  return {count, last}
end

local function count_topic()
  local groups = {}
  if call('EXISTS', LOG) == 1 then
    for _, found in ipairs(call('XINFO', 'GROUPS', LOG)) do
      local last = place_of(found[8])
      groups[#groups + 1] = {found[2], tonumber(call('GET', SEQ) or '0') - tonumber(last)}
    end
    if #groups == 0 then
      groups[1] = {false, call('XLEN', LOG)}
    end
  end
  return groups
end

local function count_group()
  local in_flight = call('ZCOUNT', HELD, '(' .. whole(now), '+inf')
  local waiting = call('ZCARD', HELD) - in_flight + call('ZCARD', DUE) + call('ZCARD', BEHIND)
  return {waiting, in_flight, call('ZCARD', DEAD)}
end

local verbs = {
  publish = publish, register = register, take = take, settle = settle, extend = extend, leave = leave,
  list_dead = list_dead, replay = replay, count_topic = count_topic, count_group = count_group,
}

return verbs[ARGV[1]](unpack(ARGV, 3, math.min(#ARGV, 12)))
