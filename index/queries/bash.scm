; Definitions. Only variables outside of functions.
(function_definition name: (word) @name) @definition.function
(program (variable_assignment name: (variable_name) @name) @definition.constant)
(program (declaration_command (variable_assignment name: (variable_name) @name)) @definition.constant)
; References.
(command name: (command_name (word) @name)) @reference.call

; Imports.
(command
  name: (command_name) @_macro
  . argument: (_) @import
  (#any-of? @_macro "source" "."))
