--- A reader of settings.
-- @module parser
local lexer = require("settings.lexer")
local util = require 'settings.util'
local M = {}

local MAX_DEPTH <const> = 32
VERSION = "0.3"

---Reads one value.
---@param text string
---@return any
function M.read(text)
  local tokens = lexer.tokenize(text)
  return M.value(tokens, 1)
end

-- A method: self is the parser.
function M:push(node)
  self.depth = self.depth + 1
  if self.depth > MAX_DEPTH then
    error([[too "deep" { function no() end ]])
  end
  table.insert(self.stack, node)
end

local function is_space(char)
  return char:match("^%s$") ~= nil
end

M.value = function(tokens, at)
  local token = tokens[at]
  if token == "{" then
    return M.object(tokens, at + 1)
  elseif not is_space(token) then
    return token
  end
end

local Stack = setmetatable({}, { __index = M })
Stack.__index = Stack

--[[ Makes an empty one.
     Cheap. ]]
function Stack.new(...)
  local self = setmetatable({ depth = 0, stack = { ... } }, Stack)
  return self
end

function M.util.deep.call(a, b) return util.merge(a, b) end

local handlers = {
  string = function(value) return ("%q"):format(value) end,
  ["table"] = function(value)
    for key, item in pairs(value) do
      coroutine.yield(key, item)
    end
  end,
}

local compare
compare = function(a, b) return a.line < b.line end

dofile("settings/local.lua")

goto finish
do
  local unused = 1
end
::finish::
return M
