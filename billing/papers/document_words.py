"""What papers other than the invoice say, Korean and English side by side; `document_texts` reads them with the invoice's."""

from collections.abc import Mapping
from types import MappingProxyType

PAPER_WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "appendix": ("이용 내역", "Usage in detail"),
        "appendix_lead": (
            "이 기간에 청구된 이용량을 모델별, API 키별, 날짜별로 나눈 것입니다. "
            "표마다 금액의 합은 이용 요금과 같습니다. (부가세 별도)",
            "What was charged in this period by model, by API key and by day. Each table adds up to the charge for usage, "
            "VAT not included.",
        ),
        "by_model": ("모델별", "By model"),
        "by_key": ("API 키별", "By API key"),
        "by_day": ("날짜별", "By day"),
        "model": ("모델", "Model"),
        "api_key": ("API 키", "API key"),
        "no_key": ("API 키 없이 보고된 이용", "Reported without an API key"),
        "numbered_key": ("{key} (번호 {number})", "{key} (no. {number})"),
        "date": ("날짜", "Date"),
        "requests": ("요청", "Requests"),
        "input_tokens": ("입력 토큰", "Input tokens"),
        "output_tokens": ("출력 토큰", "Output tokens"),
        "sum": ("합계", "Sum"),
        "receipt": ("영수증", "Receipt"),
        "receipt_opening": (
            "청구서 {number}의 요금을 아래와 같이 영수하였습니다.",
            "We have received your payment for invoice {number}.",
        ),
        "top_up_opening": (
            "선불 크레딧 충전 대금을 아래와 같이 영수하였습니다.",
            "We have received your payment for prepaid credit.",
        ),
        "prepaid_credit": ("선불 크레딧 충전", "Prepaid credit"),
        "receipt_number": ("영수증 번호", "Receipt number"),
        "paid_on": ("결제일", "Paid on"),
        "paid_by": ("결제 수단", "Payment method"),
        "by_stripe": ("신용카드", "Card"),
        "by_bank_transfer": ("계좌이체", "Bank transfer"),
        "payer": ("입금자명", "Payer"),
        "invoice_total": ("청구서 합계금액", "Total of the invoice"),
        "amount_received": ("영수 금액", "Amount received"),
        "note_receipt": (
            "이 영수증은 세금계산서나 현금영수증을 대신하지 않습니다.",
            "This receipt does not take the place of a Korean tax invoice (세금계산서) or cash receipt (현금영수증).",
        ),
        "statement": ("거래명세서", "Statement"),
        "statement_opening": (
            "{month} 거래 내역을 아래와 같이 명세합니다.",
            "This states what was supplied to you in {month}.",
        ),
        "statement_period": ("거래 기간", "Period"),
        "note_statement": (
            "이 거래명세서는 청구서 {number}의 내역과 같으며, 세금계산서를 대신하지 않습니다.",
            "This statement has the items of invoice {number}. It does not take the place of a Korean tax invoice (세금계산서).",
        ),
        "credit_note": ("수정 청구서", "Credit note"),
        "credit_note_opening": (
            "청구서 {number}의 금액을 아래와 같이 감액합니다.",
            "This corrects the amounts of invoice {number}.",
        ),
        "credit_note_number": ("수정 청구서 번호", "Credit note number"),
        "corrected_invoice": ("당초 청구서 번호", "Corrected invoice"),
        "reason_for_tax": ("수정 사유", "Kind of correction"),
        "reason_01": ("기재사항 정정", "Correction of an entry"),
        "reason_02": ("공급가액 변동", "Change of the supply value"),
        "reason_03": ("환입", "Return"),
        "reason_04": ("계약의 해제", "Cancellation of the contract"),
        "reason_06": ("착오에 의한 이중 발급", "Issued twice"),
        "credited": ("감액 합계", "Credited amount"),
        "amount_invoiced": ("당초 금액", "Invoiced"),
        "amount_credited": ("감액", "Credited"),
        "what_becomes_of_it": ("감액 처리 내역", "What becomes of the amount"),
        "less_to_pay": ("납부하실 금액에서 차감", "Less to pay"),
        "becomes_credit": ("크레딧으로 적립", "Kept as credit"),
        "is_refunded": ("환불", "Refunded"),
        "credit_note_reason": ("사유: {reason}", "Reason: {reason}"),
        "note_credit_note": (
            "이 수정 청구서는 수정세금계산서를 대신하지 않습니다.",
            "This credit note does not take the place of an amended Korean tax invoice (수정세금계산서).",
        ),
        "quotation": ("견적서", "Quotation"),
        "quotation_opening": ("API 이용 요금을 아래와 같이 견적합니다.", "This is our quotation for API usage."),
        "quotation_number": ("견적 번호", "Quotation number"),
        "quoted_on": ("견적일", "Date"),
        "valid_until": ("유효 기한", "Valid until"),
        "quoted_for": ("견적 내용", "Subject"),
        "total_with_tax": ("합계금액 (부가세 포함)", "Total including VAT"),
        "total_without_tax": ("합계금액", "Total"),
        "note_quotation": (
            "단가는 견적일의 가격표, 마진과 환율에 따른 것입니다. 실제 요금은 이용 시점의 단가와 이용한 토큰 수로 정해집니다.",
            "Prices are those of the date of this quotation: price list, markup and exchange rate. What is charged depends on the "
            "prices in force when the API is used, and on the tokens that are used.",
        ),
        "volume": (
            "요청 {requests}건 · 입력 {input} 토큰 · 출력 {output} 토큰",
            "{requests} requests · {input} input tokens · {output} output tokens",
        ),
        "volume_of_tokens": ("입력 {input} 토큰 · 출력 {output} 토큰", "{input} input tokens · {output} output tokens"),
    }
)
