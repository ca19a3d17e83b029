; What only JavaScript has: fields of classes, which TypeScript's grammar calls otherwise.
(field_definition property: (_) @name value: (arrow_function body: (_) @body)) @definition.method
(field_definition property: (_) @name) @definition.field
