;; As fitting, but `open` is missing from the exported interface.
(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
    (func (export "open") (param i32 i32) (result i32) i32.const 16)
    (func (export "process") (param i32 i32 i32) (result i32) i32.const 16))
  (core instance $i (instantiate $m))
  (type $failure' (record (field "code" string) (field "index" (option u32)) (field "message" string)))
  (func $open (param "config" string) (result (result (error string)))
    (canon lift (core func $i "open") (memory $i "memory") (realloc (func $i "realloc"))))
  (component $framed
    (type $failure' (record (field "code" string) (field "index" (option u32)) (field "message" string)))
    (import "open" (func $open (param "config" string) (result (result (error string)))))
    (import "failure" (type $failure (eq $failure')))
    (import "process" (func $process (param "source" u32) (param "frames" (list u8))
      (result (result (list u8) (error $failure)))))
    (export $exported "failure" (type $failure))
    (export "process" (func $process) (func (param "source" u32) (param "frames" (list u8))
      (result (result (list u8) (error $exported))))))
  (func $process (param "source" u32) (param "frames" (list u8)) (result (result (list u8) (error $failure')))
    (canon lift (core func $i "process") (memory $i "memory") (realloc (func $i "realloc"))))
  (instance $framed (instantiate $framed
    (with "open" (func $open)) (with "failure" (type $failure')) (with "process" (func $process))))
  (export "wasmill:plugin/framed@1.0.0" (instance $framed))
)
