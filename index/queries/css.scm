; Definitions: selectors, at-rules that hold others, and custom properties.
(rule_set (selectors) @name) @definition.selector
(keyframes_statement (keyframes_name) @name) @definition.selector
(declaration (property_name) @name (#match? @name "^--")) @definition.constant

; References: custom properties.
((plain_value) @name (#match? @name "^--")) @reference.variable

; Imports.
(import_statement (string_value (string_content) @import))
(import_statement (call_expression (arguments [(string_value (string_content) @import) (plain_value) @import])))
