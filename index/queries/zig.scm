; Definitions. Types are values of constants; a function inside one becomes a method.
(function_declaration name: (identifier) @name) @definition.function
(variable_declaration . (identifier) @name (struct_declaration)) @definition.struct
(variable_declaration . (identifier) @name (union_declaration)) @definition.struct
(variable_declaration . (identifier) @name (opaque_declaration)) @definition.struct
(variable_declaration . (identifier) @name (enum_declaration)) @definition.enum
(variable_declaration . (identifier) @name (error_set_declaration)) @definition.enum
(source_file (variable_declaration . (identifier) @name) @definition.constant)
(struct_declaration (variable_declaration . (identifier) @name) @definition.constant)
(test_declaration [(string) (identifier)] @name) @definition.function

; References.
(call_expression function: (identifier) @name) @reference.call
(call_expression function: (field_expression member: (identifier) @name)) @reference.call

; Imports.
(builtin_function
  (builtin_identifier) @_macro
  (arguments (string (string_content) @import))
  (#any-of? @_macro "@import" "@embedFile" "@cInclude"))
