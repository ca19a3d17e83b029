; Definitions. What define_method and the attr family make counts; a method inside a module stays a
; function.
(module name: [(constant) (scope_resolution)] @name) @definition.module
(class name: [(constant) (scope_resolution)] @name) @definition.class
(method name: (_) @name) @definition.function
(singleton_method name: (_) @name) @definition.function
(alias name: (_) @name) @definition.function
(assignment left: (constant) @name) @definition.constant
(call
  method: (identifier) @_macro
  arguments: (argument_list . (simple_symbol) @name)
  (#any-of? @_macro "define_method" "alias_method" "scope" "delegate")) @definition.function
(call
  method: (identifier) @_macro
  arguments: (argument_list (simple_symbol) @name)
  (#any-of? @_macro "attr_reader" "attr_writer" "attr_accessor")) @definition.field

; References.
(call method: (identifier) @name) @reference.call
(call method: (constant) @name) @reference.call
(call receiver: (constant) @name) @reference.type
(superclass [(constant) @name (scope_resolution name: (constant) @name)]) @reference.type
(scope_resolution name: (constant) @name) @reference.type

; Imports.
(call
  !receiver
  method: (identifier) @_macro
  arguments: (argument_list . (string (string_content) @import))
  (#any-of? @_macro "require" "require_relative" "load"))
