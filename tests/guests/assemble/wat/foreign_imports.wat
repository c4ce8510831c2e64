;; Imports what no processor gets, and what the contract does not have.
(component
  (import "wasi:http/outgoing-handler@0.2.0" (instance))
  (import "acme:db/sql@1.0.0" (instance (export "query" (func (param "q" string)))))
  (import "wasmill:plugin/state@1.0.0" (instance
    (export "get" (func (param "store" u32) (param "key" string) (result (option (list u8)))))
    (export "watch" (func (param "store" u32)))))
  (import "wasmill:plugin/log@1.0.0" (instance))
  (import "wasi:cli/environment@0.2.3" (instance))
)
