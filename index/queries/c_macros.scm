; What only C has: a macro that stands for a function's head is a call before a block. Its first
; argument is the best name there is, as in SYSCALL_DEFINE3(open, ...) { ... }.
(translation_unit
  (expression_statement (call_expression function: (identifier) @_macro arguments: (argument_list . (identifier) @name))) @definition.function
  . (compound_statement)
  (#match? @_macro "^[A-Z][A-Z0-9_]+$"))
