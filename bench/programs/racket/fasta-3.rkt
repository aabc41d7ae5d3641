;; SPDX-License-Identifier: GPL-2.0
;; fasta-3 N: the output of fasta by a table and two futures.
;;
;; The generator has 139968 states only, so a table gives the symbol of each; and since it is linear, a future can
;; jump to any place of its sequence. Two futures fill the halves of a block of lines, which then is written at once.
#lang racket/base
(require '#%flfxnum '#%futures "fasta-data.rkt")

(define lines-per-future 1024)
(define futures 2)

(define (step state) (fxmodulo (fx+ (fx* state multiplier) increment) modulus))

;; The state `count` steps after `state`: squares the affine map x -> a x + c.
(define (jump state count)
  (let loop ([left count] [a multiplier] [c increment] [state state])
    (if (fx= left 0)
        state
        (loop (fxrshift left 1)
              (fxmodulo (fx* a a) modulus)
              (fxmodulo (fx+ (fx* a c) c) modulus)
              (if (fx= (fxand left 1) 1) (fxmodulo (fx+ (fx* a state) c) modulus) state)))))

;; The symbol of each state.
(define (symbol-table distribution)
  (define table (make-bytes modulus))
  (for/fold ([state 0] [sum 0.0] #:result table) ([entry distribution])
    (define bound (fl+ sum (cdr entry)))
    (let loop ([state state])
      (if (and (fx< state modulus) (fl< (fl/ (fx->fl state) (fx->fl modulus)) bound))
          (begin
            (bytes-set! table state (char->integer (car entry)))
            (loop (fx+ state 1)))
          (values state bound)))))

;; The bytes that `count` symbols take with the ends of their lines.
(define (size-of count) (fx+ count (fxquotient (fx+ count (fx- line-length 1)) line-length)))

;; Writes `count` symbols in lines to `block` from `start` on.
(define (fill! block start count next-state state symbol)
  (let loop ([left count] [at start] [column 0] [state state])
    (cond
      [(fx= left 0) (when (fx> column 0) (bytes-set! block at 10))]
      [(fx= column line-length)
       (bytes-set! block at 10)
       (loop left (fx+ at 1) 0 state)]
      [else
       (define next (next-state state))
       (bytes-set! block at (symbol next))
       (loop (fx- left 1) (fx+ at 1) (fx+ column 1) next)])))

;; Writes `count` symbols; `jump` gives the state that many steps later. Returns the state after the last.
(define (write-lines count state next-state jump symbol)
  (define share (fx* lines-per-future line-length))
  (define block (make-bytes (fx* futures (size-of share))))
  (let blocks ([left count] [state state])
    (cond
      [(fx= left 0) state]
      [else
       (define now (fxmin left (fx* futures share)))
       (define parts
         (for/list ([part (in-range futures)])
           (define before (fxmin now (fx* part share)))
           (define mine (fxmin share (fx- now before)))
           (define from (jump state before))
           (define start (fx* part (size-of share)))
           (future (lambda () (fill! block start mine next-state from symbol)))))
       (for-each touch parts)
       (write-bytes block (current-output-port) 0 (size-of now))
       (blocks (fx- left now) (jump state now))])))

(define (repeat source count)
  (define length (bytes-length source))
  ;; The state is the number of the symbol that was written last.
  (define (next state) (if (fx= (fx+ state 1) length) 0 (fx+ state 1)))
  (define (jump state count) (fxmodulo (fx+ state count) length))
  (write-lines count (fx- length 1) next jump (lambda (state) (bytes-ref source state))))

(define (draw distribution count state)
  (define table (symbol-table distribution))
  (write-lines count state step jump (lambda (state) (bytes-ref table state))))

(module+ main
  (define n (string->number (vector-ref (current-command-line-arguments) 0)))
  (header "ONE" "Homo sapiens alu")
  (void (repeat alu (* 2 n)))
  (header "TWO" "IUB ambiguity codes")
  (define state (draw iub (* 3 n) seed))
  (header "THREE" "Homo sapiens frequency")
  (void (draw homo-sapiens (* 5 n) state)))
