;; SPDX-License-Identifier: GPL-2.0
;; modules FILE...: prints the source and compiled files of all collection modules that these programs load.
#lang racket/base
(require (only-in setup/dirs find-collects-dir) (only-in racket/list remove-duplicates))

;; Names of modules: a path, a list of a path and names of submodules, or a symbol for what is built in.
(define (resolve module-path base)
  (define index (module-path-index-join module-path (and base (make-resolved-module-path base))))
  (resolved-module-path-name (module-path-index-resolve index)))

(define seen (make-hash))

(define (visit name)
  (unless (or (symbol? name) (hash-ref seen name #f))
    (define module (if (pair? name) (cons 'submod name) name))
    (when (module-declared? module #t)
      (hash-set! seen name #t)
      (for* ([phase (module->imports module)] [index (cdr phase)])
        (define-values (path _) (module-path-index-split index))
        (when path (visit (resolve path name)))))))

;; The compiled form of a file, by the roots that the loader tries.
(define (compiled file)
  (define-values (folder name _) (split-path file))
  (define beside (build-path folder "compiled" (path-add-extension name #".zo")))
  (for*/first ([root (current-compiled-file-roots)]
               [path (in-value (if (eq? root 'same) beside (reroot-path beside root)))]
               #:when (file-exists? path))
    path))

(module+ main
  (parameterize ([current-namespace (make-base-empty-namespace)])
    (visit (resolve 'racket/runtime-config #f))
    (for ([program (current-command-line-arguments)])
      (define file (simplify-path (path->complete-path program)))
      (for ([name (list file (list file 'main) (list file 'configure-runtime))]) (visit name))))
  (define folder (path->string (path->directory-path (find-collects-dir))))
  (define collects (regexp (string-append "^" (regexp-quote folder))))
  (define files (remove-duplicates (for/list ([name (hash-keys seen)]) (if (pair? name) (car name) name))))
  (for ([file (sort files path<?)] #:when (regexp-match? collects (path->string file)))
    (printf "~a\n~a\n" file (or (compiled file) (error 'modules "~a is not compiled" file)))))
