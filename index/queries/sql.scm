; Definitions. The last part of a name is the name.
(create_schema (identifier) @name) @definition.module
(create_table (object_reference name: (identifier) @name)) @definition.table
(create_view (object_reference name: (identifier) @name)) @definition.table
(create_materialized_view (object_reference name: (identifier) @name)) @definition.table
(create_type (object_reference name: (identifier) @name)) @definition.type
(create_function . (keyword_create) (object_reference name: (identifier) @name) . (function_arguments)) @definition.function
(create_trigger . (keyword_create) (keyword_trigger) . (object_reference name: (identifier) @name)) @definition.function
(create_sequence (object_reference name: (identifier) @name)) @definition.constant
(create_index column: (identifier) @name) @definition.constant
(column_definition name: (identifier) @name) @definition.field

; References.
(relation (object_reference name: (identifier) @name)) @reference.table
(insert (object_reference name: (identifier) @name)) @reference.table
(alter_table (object_reference name: (identifier) @name)) @reference.table
(column_definition (keyword_references) (object_reference name: (identifier) @name)) @reference.table
(invocation (object_reference name: (identifier) @name)) @reference.call
