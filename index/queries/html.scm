; Definitions: elements with an id, headings and the title.
(element
  [(start_tag (attribute (attribute_name) @_macro [(attribute_value) @name (quoted_attribute_value (attribute_value) @name)]))
   (self_closing_tag (attribute (attribute_name) @_macro [(attribute_value) @name (quoted_attribute_value (attribute_value) @name)]))]
  (#eq? @_macro "id")) @definition.element
(element (start_tag (tag_name) @_macro) . (text) @name (#match? @_macro "^([hH][1-6]|title)$")) @definition.heading

; References: handlers named by attributes.
(attribute (attribute_name) @_macro (quoted_attribute_value (attribute_value) @name) (#match? @_macro "^(for|aria-controls|data-controller)$")) @reference.call

; Imports.
(script_element (start_tag (attribute (attribute_name) @_macro [(attribute_value) @import (quoted_attribute_value (attribute_value) @import)]))
  (#eq? @_macro "src"))
(element
  (start_tag (tag_name) @_tag (attribute (attribute_name) @_macro [(attribute_value) @import (quoted_attribute_value (attribute_value) @import)]))
  (#eq? @_tag "link") (#eq? @_macro "href"))
